// Package deflate is permessage-deflate (RFC 7692): what two sides agree on in the opening handshake,
// and how payloads are deflated and inflated. It does no I/O and starts no goroutine.
//
// It begins with a header field. A client writes [Offer] into Sec-WebSocket-Extensions; a server
// gives what it received to [Accept] and answers with what that returns; the client checks the answer
// with [Confirm]. Both sides then hold the same [Params], or compress nothing.
//
// Who sends calls [Append]. A peer that may keep its context ("takeover") has the messages before
// in its window, so a sender may point into them. The usual way to do so is to keep a compressor
// for each connection, which costs hundreds of kilobytes. This package keeps the plain text of
// the last compressed message instead, of which 2 KiB at most are used: to a stream of events that
// resemble each other it is worth nearly as much, and all connections share it. A server that sends
// one event to many goes through a [Cache], which deflates each event once for all receivers
// that have seen the same message before it.
//
// Who receives has an [Inflater]. It bounds what a message may become before it gives memory to it,
// and holds a window only for a peer that was allowed to keep its context.
//
// A message that deflating does not make smaller is sent plain. It then is in nobody's window, and
// must not become the dictionary of another: only what Append made, and was sent, may.
//
// It is a building block of agloop: its API may change in any minor release.
//
// It is the only package that imports github.com/klauspost/compress.
package deflate
