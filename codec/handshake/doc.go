// Package handshake reads and writes the opening handshake of RFC 6455, in both
// roles: a server finds the end of a head with [ScanHead] and judges it with
// [ParseRequest], a client writes its own with [AppendDialRequest] and judges the
// answer with [ParseDialResponse]. It does no I/O and starts no goroutine.
//
// It imports the standard library alone.
package handshake
