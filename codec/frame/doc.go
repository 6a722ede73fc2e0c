// Package frame turns bytes into RFC 6455 frames and messages and back, with their masks and close
// codes. It does no I/O and starts no goroutine. It works on the bytes it is given, so that a
// reactor can stop inside a frame and continue when more bytes arrive.
//
// It is a building block of agloop: its API may change in any minor release, except for what
// package agloop names by an alias.
//
// It is the only package that imports github.com/gobwas/ws.
package frame
