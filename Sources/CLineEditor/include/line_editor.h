#ifndef LINE_EDITOR_H
#define LINE_EDITOR_H

#include <stddef.h>

/// A line of a terminal that is edited with libedit, whose functions with variable arguments Swift cannot call.
struct line_editor;

/// How a line ended.
enum line_editor_outcome {
    LINE_EDITOR_LINE,         ///< with Enter
    LINE_EDITOR_END,          ///< with Ctrl-D on an empty line, or the end of the input
    LINE_EDITOR_INTERRUPTED,  ///< with Ctrl-C
};

/// An editor on standard input and standard error, with at most `size` earlier lines; null without memory.
struct line_editor *line_editor_make(int size);

/// Reads the earlier lines of a file; false if it has none or cannot be read.
int line_editor_load(struct line_editor *editor, const char *path);

/// Writes the earlier lines to a file that is there; false if it cannot be written.
int line_editor_save(struct line_editor *editor, const char *path);

/// Adds a line to the earlier ones, unless it is the last one already.
void line_editor_add(struct line_editor *editor, const char *line);

/// Reads a line. What is pasted, with all its line ends, is a part of the line.
///
/// `text` is the line without its end, as UTF-8, valid until the next call; for an interrupted line what was typed before.
enum line_editor_outcome line_editor_read(struct line_editor *editor, const char *prompt, const char **text);

#endif
