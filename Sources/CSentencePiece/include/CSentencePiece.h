// C face over the SentencePiece library (model loading, vocabulary, plain encoding and decoding).
//
// Every function that can fail returns a status; the reason is written as a NUL-terminated sentence into
// `message` (cut at `message_capacity`, may be NULL with capacity 0). No C++ exception leaves this file.
// A loaded model is immutable: all functions but csp_free may be called from several threads at once.
#ifndef C_SENTENCE_PIECE_H
#define C_SENTENCE_PIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csp_model csp_model;

typedef enum csp_status {
  CSP_OK = 0,
  CSP_NOT_A_MODEL = 2,      // the bytes are no SentencePiece model
  CSP_INVALID_ARGUMENT = 3, // an id outside the vocabulary
  CSP_TOO_SMALL = 4,        // the output buffer is too small; the needed count has been stored
  CSP_FAILED = 5,           // the library failed, or memory ran out
} csp_status;

// Kinds of pieces, numbered as in sentencepiece_model.proto.
typedef enum csp_piece_kind {
  CSP_NORMAL = 1,
  CSP_UNKNOWN = 2,
  CSP_CONTROL = 3,
  CSP_USER_DEFINED = 4,
  CSP_UNUSED = 5,
  CSP_BYTE = 6,
} csp_piece_kind;

csp_status csp_load_memory(
    const void *bytes, size_t count, csp_model **model, char *message, size_t message_capacity);
void csp_free(csp_model *model);

int32_t csp_piece_count(const csp_model *model);
// Text of a piece, UTF-8, not NUL-terminated, owned by the model; NULL for an id outside the vocabulary.
const char *csp_piece_text(const csp_model *model, int32_t id, size_t *length);
// Id of a piece, or -1 if the vocabulary has no such piece.
int32_t csp_piece_id(const csp_model *model, const char *text, size_t length);
// Log-probability of a piece; 0 for an id outside the vocabulary.
float csp_piece_score(const csp_model *model, int32_t id);
// Kind of a piece; CSP_UNUSED for an id outside the vocabulary.
csp_piece_kind csp_piece_type(const csp_model *model, int32_t id);
// The normaliser's character map (a double-array trie and its replacement strings), owned by the model.
const uint8_t *csp_character_map(const csp_model *model, size_t *length);

// Ids of `text` as the library itself gives them: its normaliser, no special tokens. `count` receives the
// number of ids, also with CSP_TOO_SMALL.
csp_status csp_encode(
    const csp_model *model, const char *text, size_t length, int32_t *ids, size_t capacity, size_t *count,
    char *message, size_t message_capacity);
// Text of `ids`, UTF-8, not NUL-terminated. `length` receives its bytes, also with CSP_TOO_SMALL.
csp_status csp_decode(
    const csp_model *model, const int32_t *ids, size_t count, char *text, size_t capacity, size_t *length,
    char *message, size_t message_capacity);

// Trains a unigram model of `vocabulary_size` pieces on `count` lines of UTF-8: line i ends before text + ends[i], where
// the next one begins. Ids: <pad> 0, </s> 1, <unk> 2, no start of sequence, no bytes; the normaliser is nmt_nfkc. The
// same arguments give the same bytes. `model` receives the serialised model, to be freed with csp_free_bytes.
csp_status csp_train_unigram(
    const char *text, const size_t *ends, size_t count, int32_t vocabulary_size, double character_coverage,
    uint8_t **model, size_t *length, char *message, size_t message_capacity);
void csp_free_bytes(uint8_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
