// Package pb is generated from agui.proto, for tests alone: it judges what package eventpb writes. A
// program that had it would be 3.3 MB larger, and could not have another package for the same
// protobuf names.
package pb

// buf compiles the text and knows struct.proto; the generator is that of the protobuf module in go.mod.
//go:generate sh -c "cd ../.. && go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate --template '{version: v2, plugins: [{local: [go, run, google.golang.org/protobuf/cmd/protoc-gen-go], out: internal/pb, opt: paths=source_relative}]}' ."
