// Package control reads and writes the control frames of the subprotocols agloop.v1.json and
// agloop.v1.proto. Hosts may rely on its names, and docs/protocol.md describes the wire.
//
// On that wire a frame that begins with "[" is control, an array of a name and one object, and any
// other is one AG-UI event: JSON as it is without a subprotocol, or protobuf, which never begins with
// that byte. A control is such as
//
//	["attach",{"ref":"1","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":17}]
//
// A ref is chosen by the client and names its request in what the server answers. Epochs are 16 hex
// digits, offsets integers from 1 to 2^53-1.
package control
