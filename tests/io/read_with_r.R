# Files of this library, read by rhdf5 alone: what docs/files.md promises to users of R. Arrays have their axes in reverse order.
if (!requireNamespace("rhdf5", quietly = TRUE)) {
  cat("rhdf5 is not installed (Debian: r-bioc-rhdf5); skipped\n")
  quit(status = 77)
}
library(rhdf5)
data <- commandArgs(trailingOnly = TRUE)[1]

file  <- file.path(data, "simulations_format_1.h5")
done  <- h5read(file, "done")
theta <- h5read(file, "prior_draws")[, 1:done[1]]
x     <- h5read(file, "sim_data")[, , 1:done[1]]
stopifnot(done == c(20, 3), dim(theta) == c(4, 20), dim(x) == c(4, 50, 20))
stopifnot(theta[1, 1] == 1.3942070296603997, x[4, 50, 20] == -0.2338836218434175)
stopifnot(h5readAttributes(file, "/")$param_names == c("a", "b", "c", "d"))

# A field whose shape varies is flat.
file   <- file.path(data, "simulations_varying_format_1.h5")
shapes <- h5read(file, "sim_data_shape")
first  <- h5read(file, "sim_data_offset")
flat   <- h5read(file, "sim_data")
for (b in seq_len(h5read(file, "done")[2])) {
  x_b <- array(flat[first[b] + seq_len(prod(shapes[, b]))], rev(shapes[, b]))
  stopifnot(dim(x_b) == c(2, h5read(file, "sim_non_batchable_context")[1, b], 8))
}

weights <- h5read(file.path(data, "model_format_1.h5"), "weights/summary_net.output.kernel")
stopifnot(dim(weights) == c(6, 8))
cat("rhdf5", as.character(packageVersion("rhdf5")), "reads all three files\n")
