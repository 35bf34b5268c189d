#include "CSentencePiece.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <sentencepiece_processor.h>

#include "wire_format.h"

struct csp_model {
  sentencepiece::SentencePieceProcessor processor;
  std::string bytes;  // `parts.character_map` points into it
  wire_format::ModelParts parts;
};

namespace {

void say(char *message, size_t capacity, const char *text) {
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", text);
}

// Runs `body`, turning every exception into CSP_FAILED.
template <typename Body>
csp_status guarded(char *message, size_t capacity, Body body) noexcept {
  try {
    return body();
  } catch (const std::exception &error) {
    say(message, capacity, error.what());
  } catch (...) {
    say(message, capacity, "unknown exception in the SentencePiece library");
  }
  return CSP_FAILED;
}

csp_status load(std::string bytes, csp_model **result, char *message, size_t capacity) {
  auto model = std::make_unique<csp_model>();
  model->bytes = std::move(bytes);
  if (model->bytes.empty() || !wire_format::read_model(model->bytes, model->parts)) {
    const bool empty = model->bytes.empty();
    say(message, capacity, empty ? "it is empty" : "its protobuf message is cut short or malformed");
    return CSP_NOT_A_MODEL;
  }
  if (model->parts.piece_kinds.empty()) {
    say(message, capacity, "it holds no pieces");
    return CSP_NOT_A_MODEL;
  }
  const auto status = model->processor.LoadFromSerializedProto(model->bytes);
  if (!status.ok()) {
    say(message, capacity, status.error_message());
    return CSP_NOT_A_MODEL;
  }
  if (static_cast<size_t>(model->processor.GetPieceSize()) != model->parts.piece_kinds.size()) {
    say(message, capacity, "the library counts other pieces than the file holds");
    return CSP_NOT_A_MODEL;
  }
  *result = model.release();
  return CSP_OK;
}

bool has(const csp_model *model, int32_t id) { return id >= 0 && id < model->processor.GetPieceSize(); }

}  // namespace

extern "C" {

csp_status csp_load_memory(
    const void *bytes, size_t count, csp_model **model, char *message, size_t message_capacity) {
  *model = nullptr;
  return guarded(message, message_capacity, [&] {
    return load(std::string(static_cast<const char *>(bytes), count), model, message, message_capacity);
  });
}

void csp_free(csp_model *model) { delete model; }

int32_t csp_piece_count(const csp_model *model) { return model->processor.GetPieceSize(); }

const char *csp_piece_text(const csp_model *model, int32_t id, size_t *length) {
  *length = 0;
  if (!has(model, id)) return nullptr;
  const std::string &text = model->processor.IdToPiece(id);
  *length = text.size();
  return text.data();
}

int32_t csp_piece_id(const csp_model *model, const char *text, size_t length) {
  // The library answers the unknown id for a piece it does not have.
  const std::string_view piece(text, length);
  const int id = model->processor.PieceToId(piece);
  return has(model, id) && model->processor.IdToPiece(id) == piece ? id : -1;
}

float csp_piece_score(const csp_model *model, int32_t id) {
  return has(model, id) ? model->processor.GetScore(id) : 0;
}

csp_piece_kind csp_piece_type(const csp_model *model, int32_t id) {
  return has(model, id) ? static_cast<csp_piece_kind>(model->parts.piece_kinds[id]) : CSP_UNUSED;
}

const uint8_t *csp_character_map(const csp_model *model, size_t *length) {
  *length = model->parts.character_map.size();
  return reinterpret_cast<const uint8_t *>(model->parts.character_map.data());
}

csp_status csp_encode(
    const csp_model *model, const char *text, size_t length, int32_t *ids, size_t capacity, size_t *count,
    char *message, size_t message_capacity) {
  *count = 0;
  return guarded(message, message_capacity, [&]() -> csp_status {
    std::vector<int> found;
    const auto status = model->processor.Encode(std::string_view(text, length), &found);
    if (!status.ok()) {
      say(message, message_capacity, status.error_message());
      return CSP_FAILED;
    }
    *count = found.size();
    if (found.size() > capacity) return CSP_TOO_SMALL;
    std::copy(found.begin(), found.end(), ids);
    return CSP_OK;
  });
}

csp_status csp_decode(
    const csp_model *model, const int32_t *ids, size_t count, char *text, size_t capacity, size_t *length,
    char *message, size_t message_capacity) {
  *length = 0;
  return guarded(message, message_capacity, [&]() -> csp_status {
    for (size_t index = 0; index < count; index++) {
      if (has(model, ids[index])) continue;
      const std::string reason = "id " + std::to_string(ids[index]) + " is outside the vocabulary of "
          + std::to_string(csp_piece_count(model)) + " pieces";
      say(message, message_capacity, reason.c_str());
      return CSP_INVALID_ARGUMENT;
    }
    std::string found;
    const auto status = model->processor.Decode(std::vector<int>(ids, ids + count), &found);
    if (!status.ok()) {
      say(message, message_capacity, status.error_message());
      return CSP_FAILED;
    }
    *length = found.size();
    if (found.size() > capacity) return CSP_TOO_SMALL;
    std::copy(found.begin(), found.end(), text);
    return CSP_OK;
  });
}

}  // extern "C"
