// Package codec turns bytes into the nouns of the wire and back: RFC 6455
// frames, messages, the opening handshake, and AG-UI events as JSON. It does
// no I/O and starts no goroutine; every function works on the bytes it is given, so
// that a reactor can stop in the middle of anything and go on when more arrives.
//
// It is the only package that imports github.com/gobwas/ws and
// github.com/bytedance/sonic.
package codec
