#include "line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

struct line_editor {
    EditLine *edit;
    History *history;
    const char *prompt;
    char *text;
    int is_interrupted;
};

static char *prompt_of(EditLine *edit) {
    struct line_editor *editor = NULL;
    el_get(edit, EL_CLIENTDATA, &editor);
    return (char *)editor->prompt;
}

// Ctrl-C is a key here: a signal would discard the line before the program can look at it.
static unsigned char interrupt(EditLine *edit, int key) {
    (void)key;
    struct line_editor *editor = NULL;
    el_get(edit, EL_CLIENTDATA, &editor);
    const LineInfo *line = el_line(edit);
    size_t length = (size_t)(line->lastchar - line->buffer);
    free(editor->text);
    editor->text = malloc(length + 1);
    if (editor->text) {
        memcpy(editor->text, line->buffer, length);
        editor->text[length] = 0;
    }
    editor->is_interrupted = 1;
    return CC_EOF;
}

// The terminal sends ESC [ 200 ~ before pasted text and ESC [ 201 ~ after it.
static unsigned char paste(EditLine *edit, int key) {
    (void)key;
    static const wchar_t end[] = L"\033[201~";
    size_t count = 0, limit = 256, matched = 0;
    wchar_t *text = malloc(limit * sizeof *text), next;
    while (text && el_wgetc(edit, &next) == 1) {
        if (count + 2 > limit) {
            wchar_t *larger = realloc(text, (limit *= 2) * sizeof *text);
            if (!larger) break;
            text = larger;
        }
        text[count++] = next == L'\r' ? L'\n' : next;
        matched = next == end[matched] ? matched + 1 : next == end[0];
        if (end[matched]) continue;
        count -= matched;
        break;
    }
    if (!text) return CC_ERROR;
    while (count > 0 && text[count - 1] == L'\n') count -= 1;
    text[count] = 0;
    int is_inserted = count == 0 || el_winsertstr(edit, text) == 0;
    free(text);
    return is_inserted ? CC_REFRESH : CC_ERROR;
}

// Has the terminal pass on every key, as the editor does later; false if there is none.
static int take_keys(struct termios *before) {
    if (tcgetattr(STDIN_FILENO, before) != 0) return 0;
    struct termios during = *before;
    during.c_cc[VINTR] = _POSIX_VDISABLE;
    during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    return tcsetattr(STDIN_FILENO, TCSANOW, &during) == 0;
}

struct line_editor *line_editor_make(int size) {
    // Other characters than those of UTF-8 cannot be typed in a locale without it.
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    struct line_editor *editor = calloc(1, sizeof *editor);
    if (!editor) return NULL;
    editor->history = history_init();
    // The editor has modes of its own for the time between two lines; those of the terminal stay.
    struct termios before;
    int is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    editor->edit = el_init("bridge", stdin, stderr, stderr);
    if (is_terminal) tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (!editor->edit || !editor->history) {
        if (editor->edit) el_end(editor->edit);
        if (editor->history) history_end(editor->history);
        free(editor);
        return NULL;
    }
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, size);
    history(editor->history, &event, H_SETUNIQUE, 1);
    EditLine *edit = editor->edit;
    el_set(edit, EL_CLIENTDATA, editor);
    el_set(edit, EL_PROMPT_ESC, prompt_of, '\1');
    el_set(edit, EL_HIST, history, editor->history);
    el_set(edit, EL_EDITOR, "emacs");
    // The user's own bindings, in ~/.editrc, come before those that the program needs.
    el_source(edit, NULL);
    el_set(edit, EL_ADDFN, "bridge-interrupt", "Ends the line", interrupt);
    el_set(edit, EL_ADDFN, "bridge-paste", "Inserts pasted text", paste);
    el_set(edit, EL_SETTY, "-d", "intr=", NULL);
    static const char *const bindings[][2] = {
        {"^C", "bridge-interrupt"}, {"\033[200~", "bridge-paste"}, {"^R", "em-inc-search-prev"},
        {"\033[A", "ed-prev-history"}, {"\033[B", "ed-next-history"}, {"\033[C", "ed-next-char"},
        {"\033[D", "ed-prev-char"}, {"\033OA", "ed-prev-history"}, {"\033OB", "ed-next-history"},
        {"\033OC", "ed-next-char"}, {"\033OD", "ed-prev-char"}, {"\033[H", "ed-move-to-beg"},
        {"\033[F", "ed-move-to-end"}, {"\033[1~", "ed-move-to-beg"}, {"\033[4~", "ed-move-to-end"},
        {"\033[3~", "ed-delete-next-char"}, {"\033[1;5C", "em-next-word"}, {"\033[1;5D", "ed-prev-word"},
    };
    for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++) {
        el_set(edit, EL_BIND, bindings[i][0], bindings[i][1], NULL);
    }
    return editor;
}

int line_editor_load(struct line_editor *editor, const char *path) {
    HistEvent event;
    return history(editor->history, &event, H_LOAD, path) >= 0;
}

int line_editor_save(struct line_editor *editor, const char *path) {
    HistEvent event;
    return history(editor->history, &event, H_SAVE, path) >= 0;
}

void line_editor_add(struct line_editor *editor, const char *line) {
    HistEvent event;
    history(editor->history, &event, H_ENTER, line);
}

enum line_editor_outcome line_editor_read(struct line_editor *editor, const char *prompt, const char **text) {
    static const char on[] = "\033[?2004h", off[] = "\033[?2004l";
    const char *name = getenv("TERM");
    int marks = name && *name && strcmp(name, "dumb") != 0;
    editor->prompt = prompt;
    editor->is_interrupted = 0;
    free(editor->text);
    editor->text = NULL;
    // The result of a write that a closed terminal refuses is the end of the input.
    if (marks && write(STDERR_FILENO, on, sizeof on - 1) < 0) return LINE_EDITOR_END;
    // Before the prompt is there: what is typed from then on is read key by key, Ctrl-C and Ctrl-D too.
    struct termios before;
    int is_terminal = take_keys(&before);
    int count = 0;
    const char *line = el_gets(editor->edit, &count);
    if (is_terminal) tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (marks && write(STDERR_FILENO, off, sizeof off - 1) < 0) line = NULL;
    if (editor->is_interrupted) {
        *text = editor->text ? editor->text : "";
        return LINE_EDITOR_INTERRUPTED;
    }
    if (!line || count <= 0) return LINE_EDITOR_END;
    editor->text = strdup(line);
    if (!editor->text) return LINE_EDITOR_END;
    size_t length = strlen(editor->text);
    if (length > 0 && editor->text[length - 1] == '\n') editor->text[length - 1] = 0;
    *text = editor->text;
    return LINE_EDITOR_LINE;
}
