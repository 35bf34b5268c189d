// The trainer of the SentencePiece library (Kudo 2018, "Subword regularization"), which takes lines from memory.

#include "CSentencePiece.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <unordered_map>

#include <sentencepiece_trainer.h>

namespace {

class Lines : public sentencepiece::SentenceIterator {
 public:
  Lines(const char *text, const size_t *ends, size_t count) : text_(text), ends_(ends), count_(count) { read(); }

  bool done() const override { return index_ >= count_; }
  void Next() override {
    index_++;
    read();
  }
  const std::string &value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void read() {
    if (done()) return;
    const size_t start = index_ == 0 ? 0 : ends_[index_ - 1];
    line_.assign(text_ + start, ends_[index_] - start);
  }

  const char *text_;
  const size_t *ends_;
  const size_t count_;
  size_t index_ = 0;
  std::string line_;
};

void say(char *message, size_t capacity, const char *text) {
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", text);
}

csp_status train(
    const char *text, const size_t *ends, size_t count, int32_t vocabulary_size, double character_coverage,
    std::string *model, char *message, size_t capacity) {
  // The library takes no limit below 10 bytes.
  size_t longest = 10, start = 0;
  for (size_t index = 0; index < count; index++) {
    longest = std::max(longest, ends[index] - start);
    start = ends[index];
  }
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(vocabulary_size)},
      {"character_coverage", std::to_string(character_coverage)},
      {"pad_id", "0"},
      {"eos_id", "1"},
      {"unk_id", "2"},
      {"bos_id", "-1"},
      {"byte_fallback", "false"},
      {"normalization_rule_name", "nmt_nfkc"},
      // Otherwise longer lines would be left out.
      {"max_sentence_length", std::to_string(longest)},
      // Sums go over the threads' parts in their order: another number would give other bytes.
      {"num_threads", "1"},
      // Errors only; the status tells them anyway.
      {"minloglevel", "2"},
  };
  Lines lines(text, ends, count);
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &lines, model);
  if (status.ok()) return CSP_OK;
  say(message, capacity, status.error_message());
  return CSP_INVALID_ARGUMENT;
}

}  // namespace

extern "C" {

csp_status csp_train_unigram(
    const char *text, const size_t *ends, size_t count, int32_t vocabulary_size, double character_coverage,
    uint8_t **model, size_t *length, char *message, size_t message_capacity) {
  *model = nullptr;
  *length = 0;
  try {
    std::string bytes;
    const csp_status status =
        train(text, ends, count, vocabulary_size, character_coverage, &bytes, message, message_capacity);
    if (status != CSP_OK) return status;
    *model = static_cast<uint8_t *>(std::malloc(std::max<size_t>(bytes.size(), 1)));
    if (*model == nullptr) {
      say(message, message_capacity, "out of memory");
      return CSP_FAILED;
    }
    std::memcpy(*model, bytes.data(), bytes.size());
    *length = bytes.size();
    return CSP_OK;
  } catch (const std::exception &error) {
    say(message, message_capacity, error.what());
  } catch (...) {
    say(message, message_capacity, "unknown exception in the SentencePiece library");
  }
  return CSP_FAILED;
}

void csp_free_bytes(uint8_t *bytes) { std::free(bytes); }

}  // extern "C"
