# Runs an R program as Rscript does, and reports errors with the file's name and the line.
# Usage: Rscript run.R SOURCE [ARGUMENT…]

local({
  words <- commandArgs(trailingOnly = TRUE)
  source_file <- words[1]
  # The program sees its own name and arguments.
  all_words <- c("R", paste0("--file=", source_file), if (length(words) > 1) c("--args", words[-1]))
  own <- list(commandArgs = function(trailingOnly = FALSE) if (trailingOnly) words[-1] else all_words)
  attach(own, name = "livecode", warn.conflicts = FALSE)

  place <- function(call) {
    reference <- attr(call, "srcref")
    if (is.null(reference)) return("")
    paste0(" (", basename(attr(reference, "srcfile")$filename), ":", reference[1], ")")
  }
  report <- function() {
    calls <- sys.calls()
    # Only the calls in the program's file have a place.
    is_own <- vapply(calls, function(call) nzchar(place(call)), TRUE)
    for (call in rev(calls[is_own])) {
      message("  at ", deparse(call, nlines = 1)[1], place(call))
    }
    quit(save = "no", status = 1, runLast = FALSE)
  }
  options(keep.source = TRUE, warn = 1, showErrorCalls = FALSE, error = report)

  program <- tryCatch(parse(source_file, keep.source = TRUE), error = function(problem) {
    message("Error: ", conditionMessage(problem))
    quit(save = "no", status = 1)
  })
  source(exprs = program, print.eval = TRUE, keep.source = TRUE)
})
