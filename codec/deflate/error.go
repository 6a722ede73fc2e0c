package deflate

import "errors"

// The errors of [Confirm]: the handshake fails.
var (
	errMalformed  = errors.New("malformed answer to " + extension)
	errNotOffered = errors.New("extension nobody asked for")
	errTakeover   = errors.New(extension + " without the " + serverNoTakeover + " that was asked for")
)

// The errors of [Inflater.Inflate]: the connection fails. RFC 7692 names no close codes; those beside
// the errors are of RFC 6455 §7.4.1.
var (
	// ErrTooBig: the message is larger than the limit. Close with 1009.
	ErrTooBig = errors.New("agloop: inflated message is too big")
	// ErrRatio: the message becomes more than 64 KiB and more than a thousand times as large. Close
	// with 1009.
	ErrRatio = errors.New("agloop: message inflates too much")
	// ErrCorrupt: with the four bytes of §7.2.2 it is no sequence of whole DEFLATE blocks, or one with
	// more last blocks than any sender makes. Close with 1007: the data does not fit what it is said
	// to be.
	ErrCorrupt = errors.New("agloop: message is not deflated")
	// ErrEmpty: the message is marked as compressed and has no byte. The shortest there is has one,
	// §7.2.3.6. Close with 1002.
	ErrEmpty = errors.New("agloop: compressed message is empty")
)
