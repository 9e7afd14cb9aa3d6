failLoudly <- function() {
  stop("no such luck") # HERE
}

switch(commandArgs(trailingOnly = TRUE)[1],
  hello = cat("Hello, World!\n"),
  stderr = message("oops"),
  exit = quit(status = 3),
  echo = writeLines(readLines(file("stdin"))),
  error = failLoudly(),
  process = invisible(system("echo process")),
  threads = cat(sum(unlist(parallel::mclapply(1:4, identity, mc.cores = 4))), "\n", sep = ""),
  lines = for (n in 1:100000) cat(n, "\n", sep = ""),
  live = {
    cat("live\n")
    Sys.sleep(60)
  },
  prompt = {
    cat("name? ")
    cat("hello", readLines(file("stdin"), 1), "\n")
  }
)
