// Package interop tests agloop against other WebSocket implementations. It is a module of its own,
// so that they stay out of the library's go.sum.
package interop
