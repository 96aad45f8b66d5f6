// The program in the pods of the end-to-end tests. The standard library is all it needs.
module modelinfer.dev/tests/e2e/workload

go 1.26.0
