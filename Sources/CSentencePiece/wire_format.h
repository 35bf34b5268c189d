// The two things of a SentencePiece model file that the library's public interface keeps to itself: the kind
// of each piece and the normaliser's character map. A reader for just these fields of the protobuf wire
// format.
#ifndef C_SENTENCE_PIECE_WIRE_FORMAT_H
#define C_SENTENCE_PIECE_WIRE_FORMAT_H

#include <cstdint>
#include <string_view>
#include <vector>

namespace wire_format {

// One field of a message: its number and its value, a number (varint) or bytes (length-delimited).
struct Field {
  uint32_t number = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

inline bool read_varint(std::string_view &rest, uint64_t &value) {
  value = 0;
  for (int shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Takes the next field off `rest`; false at the end and when the bytes are malformed (`rest` is then not
// empty).
inline bool next_field(std::string_view &rest, Field &field) {
  std::string_view cursor = rest;
  uint64_t tag = 0, length = 0;
  if (cursor.empty() || !read_varint(cursor, tag)) return false;
  field = Field{static_cast<uint32_t>(tag >> 3), 0, {}};
  switch (tag & 7) {
    case 0:
      if (!read_varint(cursor, field.value)) return false;
      rest = cursor;
      return true;
    case 1: length = 8; break;
    case 2:
      if (!read_varint(cursor, length)) return false;
      break;
    case 5: length = 4; break;
    default: return false;
  }
  if (length > cursor.size()) return false;
  field.bytes = cursor.substr(0, length);
  cursor.remove_prefix(length);
  rest = cursor;
  return true;
}

// What `read_model` finds.
struct ModelParts {
  std::vector<uint8_t> piece_kinds;
  std::string_view character_map;
};

// Field numbers of sentencepiece_model.proto: ModelProto.pieces 1 (type 3), ModelProto.normalizer_spec 3
// (precompiled_charsmap 2).
inline bool read_model(std::string_view model, ModelParts &parts) {
  Field field, inner;
  while (next_field(model, field)) {
    if (field.number == 1) {
      uint8_t kind = 1;
      while (next_field(field.bytes, inner)) {
        if (inner.number == 3) kind = static_cast<uint8_t>(inner.value);
      }
      parts.piece_kinds.push_back(kind);
    } else if (field.number == 3) {
      while (next_field(field.bytes, inner)) {
        if (inner.number == 2) parts.character_map = inner.bytes;
      }
    }
    if (!field.bytes.empty() && (field.number == 1 || field.number == 3)) return false;
  }
  return model.empty();
}

}  // namespace wire_format
#endif
