// Package event turns the events and the run input of package agui into JSON and back, and checks
// them by the schema of AG-UI in both directions: [Append] and [Decoder], or a [Serializer] chosen
// by its type. It does no I/O and starts no goroutine. Bytes passed to it are borrowed, and nothing
// it returns points into them.
//
// It is a building block of agloop: its API may change in any minor release, except for what
// package agloop names by an alias.
//
// It is the only package that imports github.com/bytedance/sonic for JSON.
package event
