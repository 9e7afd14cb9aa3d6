/*
 * Makes standard output of OCaml programs behave as on a terminal. OCaml's runtime keeps output in
 * a buffer of its own, and the program is linked so that its calls come here first (ld's --wrap).
 * Here a line is written when it is complete, and the rest before the program waits for input.
 */
#define CAML_INTERNALS
#include <string.h>
#include <unistd.h>
#include <caml/io.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>

extern value caml_ml_flush(value channel);

/* The channel of standard output, once something has been printed. */
static value standard_output = Val_unit;

static void printed(value channel, int has_newline) {
    if (Channel(channel)->fd != STDOUT_FILENO) return;
    if (standard_output == Val_unit) {
        standard_output = channel;
        caml_register_generational_global_root(&standard_output);
    }
    if (has_newline) caml_ml_flush(channel);
}

static void about_to_read(value channel) {
    if (Channel(channel)->fd == STDIN_FILENO && standard_output != Val_unit) caml_ml_flush(standard_output);
}

#define OUTPUT_TEXT(name)                                                                     \
    extern value __real_##name(value channel, value text, value start, value length);         \
    value __wrap_##name(value channel, value text, value start, value length) {               \
        CAMLparam4(channel, text, start, length);                                             \
        int has_newline = memchr(&Byte(text, Long_val(start)), '\n', Long_val(length)) != NULL; \
        __real_##name(channel, text, start, length);                                          \
        printed(channel, has_newline);                                                        \
        CAMLreturn(Val_unit);                                                                 \
    }

OUTPUT_TEXT(caml_ml_output)
OUTPUT_TEXT(caml_ml_output_bytes)

extern value __real_caml_ml_output_char(value channel, value letter);
value __wrap_caml_ml_output_char(value channel, value letter) {
    CAMLparam2(channel, letter);
    __real_caml_ml_output_char(channel, letter);
    printed(channel, Long_val(letter) == '\n');
    CAMLreturn(Val_unit);
}

extern value __real_caml_ml_input(value channel, value buffer, value start, value length);
value __wrap_caml_ml_input(value channel, value buffer, value start, value length) {
    CAMLparam4(channel, buffer, start, length);
    about_to_read(channel);
    CAMLreturn(__real_caml_ml_input(channel, buffer, start, length));
}

extern value __real_caml_ml_input_char(value channel);
value __wrap_caml_ml_input_char(value channel) {
    CAMLparam1(channel);
    about_to_read(channel);
    CAMLreturn(__real_caml_ml_input_char(channel));
}

extern value __real_caml_ml_input_scan_line(value channel);
value __wrap_caml_ml_input_scan_line(value channel) {
    CAMLparam1(channel);
    about_to_read(channel);
    CAMLreturn(__real_caml_ml_input_scan_line(channel));
}
