// The first process of every pod on a real node. The standard library is all it needs.
module modelinfer.dev/hack/tools/pause

go 1.26.0
