// What llama.cpp does for inference.py: loads a GGUF, runs a prompt, decodes greedily, prints one JSON object.
//
//     peer_llama MODEL.gguf PROMPT_TOKENS NEW_TOKENS THREADS [LOGITS]
//
// With LOGITS it writes the logits of all tokens of the prompt into that file, as float32, and decodes nothing.
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void quiet(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static llama_token best(struct llama_context *context, int vocabulary) {
    const float *logits = llama_get_logits_ith(context, -1);
    llama_token winner = 0;
    for (int i = 1; i < vocabulary; i++)
        if (logits[i] > logits[winner]) winner = i;
    return winner;
}

static int write_logits(struct llama_context *context, llama_token *tokens, int count, int vocabulary, const char *path) {
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(context, batch)) return 1;
    FILE *file = fopen(path, "wb");
    if (!file) return 1;
    for (int i = 0; i < count; i++) fwrite(llama_get_logits_ith(context, i), sizeof(float), vocabulary, file);
    return fclose(file);
}

int main(int count, char **arguments) {
    if (count != 5 && count != 6) return fprintf(stderr, "usage: peer_llama MODEL PROMPT_TOKENS NEW_TOKENS THREADS\n"), 2;
    int prompt = atoi(arguments[2]), fresh = atoi(arguments[3]), threads = atoi(arguments[4]);
    double start = now();
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(arguments[1], llama_model_default_params());
    if (!model) return 1;
    struct llama_context_params settings = llama_context_default_params();
    settings.n_ctx = prompt + fresh;
    settings.n_batch = settings.n_ubatch = prompt > 512 ? prompt : 512;
    settings.n_threads = settings.n_threads_batch = threads;
    struct llama_context *context = llama_init_from_model(model, settings);
    if (!context) return 1;
    double loaded = now();

    int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    llama_token *tokens = malloc(sizeof *tokens * (prompt + fresh));
    tokens[0] = 1;  // the ids of peer_transformers.py
    for (int i = 1; i < prompt; i++) tokens[i] = 20 + (int)(7919LL * i % (vocabulary - 40));
    if (count == 6) {
        puts("{}");
        return write_logits(context, tokens, prompt, vocabulary, arguments[5]);
    }
    double before = now();
    if (llama_decode(context, llama_batch_get_one(tokens, prompt))) return 1;
    llama_token *made = tokens + prompt;
    made[0] = best(context, vocabulary);
    double first = now();
    for (int i = 1; i < fresh; i++) {
        if (llama_decode(context, llama_batch_get_one(made + i - 1, 1))) return 1;
        made[i] = best(context, vocabulary);
    }
    double last = now();

    printf("{\"token_ids\": [");
    for (int i = 0; i < fresh; i++) printf(i ? ", %d" : "%d", made[i]);
    printf("], \"load_seconds\": %f, \"first_token_seconds\": %f, \"prefill_seconds\": %f, \"prefill_tokens\": %d, ",
        loaded - start, first - start, first - before, prompt);
    printf("\"decode_seconds\": %f, \"decode_tokens\": %d}\n", last - first, fresh - 1);
    llama_free(context);
    llama_model_free(model);
}
