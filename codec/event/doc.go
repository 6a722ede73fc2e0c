// Package event turns the events and the run input of package agui into JSON and
// back, and judges them by the schema of AG-UI on both ways: [Append] and [Decoder],
// or a [Serializer] chosen by its type. It does no I/O and starts no goroutine; bytes
// it is given are borrowed, and nothing it returns points into them.
//
// It is the only package that imports github.com/bytedance/sonic for JSON.
package event
