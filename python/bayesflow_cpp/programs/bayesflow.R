# Simulators in R, for Simulator(command=["Rscript", "model.R"], protocol="csv", shape=...). A whole program:
#
#   source(file.path(Sys.getenv("BAYESFLOW_PROGRAMS"), "bayesflow.R"))
#   bayesflow_simulate(function(parameters, context) matrix(rnorm(50, parameters[1], exp(parameters[2])), 25, 2))
#
# simulate: a function of the parameters and the context, numeric vectors both, that returns numbers, a matrix or an array; its random numbers
# are R's, which are set to the simulation's seed before each call. What it prints goes to standard error. Arrays arrive with R's axes.
bayesflow_simulate <- function(simulate) {
  input <- file("stdin", "r")
  on.exit(close(input))
  answer <- function(...) {
    cat(..., "\n", sep = "")
    flush(stdout())
  }
  while (length(line <- readLines(input, n = 1)) > 0) {
    request <- strsplit(line, ",", fixed = TRUE)[[1]]
    number <- request[1]
    values <- as.numeric(request[-(1:3)])
    count <- as.integer(request[3])
    set.seed(as.integer(request[2]))
    sink(stderr())
    data <- tryCatch(
      {
        out <- simulate(values[seq_len(count)], values[seq_len(length(values) - count) + count])
        if (is.data.frame(out)) out <- as.matrix(out)
        if (!is.numeric(out) && !is.logical(out)) stop("the simulator must return numbers; it returned ", class(out)[1])
        if (length(dim(out)) > 1) aperm(out) else out  # the last axis first, as files and the networks have it
      },
      error = function(e) e
    )
    sink()
    if (inherits(data, "error")) {
      answer(number, ",error,", gsub("[\r\n]+", " ", conditionMessage(data)))
    } else {
      answer(number, ",", paste(sprintf("%.17g", as.numeric(data)), collapse = ","))
    }
  }
}
