// Package handshake reads and writes the opening handshake of RFC 6455 for both sides. A server
// finds the end of a head with [ScanHead] and checks it with [ParseRequest]; a client writes its
// request with [AppendDialRequest] and checks the response with [ParseDialResponse]; a proxy on the
// way is asked with [AppendConnectRequest] first. It does no I/O, but for [DialError.ReadResponse],
// and starts no goroutine.
//
// It is a building block of agloop: its API may change in any minor release, except for what
// package agloop names by an alias.
//
// It imports the standard library alone.
package handshake
