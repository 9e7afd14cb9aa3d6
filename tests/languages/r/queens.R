found <- list()

place <- function(queens) {
  rows <- length(queens)
  if (rows == 8) {
    found[[length(found) + 1]] <<- queens
    return(invisible())
  }
  for (column in 1:8) {
    distances <- abs(queens - column)
    if (all(distances != 0, distances != rev(seq_len(rows)))) place(c(queens, column))
  }
}

place(integer(0))
writeLines(paste(found[[1]], collapse = " "))
writeLines(paste(length(found)))
