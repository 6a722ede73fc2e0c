// Package frame turns bytes into RFC 6455 frames and messages and back, with their
// masks and close codes. It does no I/O and starts no goroutine; every function works
// on the bytes it is given, so that a reactor can stop in the middle of anything and
// go on when more arrives.
//
// It is the only package that imports github.com/gobwas/ws.
package frame
