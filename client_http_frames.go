package agloop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/tmaxmax/go-sse"
)

// frames are the events of a response, in its framing.
type frames interface {
	// next returns the next event, which the caller releases, and the id that stands with it or before;
	// a nil event is none. The error is io.ErrUnexpectedEOF at the end: the reader stops before it.
	next() (event *bufpool.Buffer, id string, err error)
	body() io.Closer
	close()
}

// errLargeEvent ends a response with an event that the client does not take.
var errLargeEvent = &frame.ProtocolError{Code: CloseTooBig, Reason: "an event is larger than Limits.MaxMessage"}

// sseFrames reads Server-Sent Events.
type sseFrames struct {
	from io.Closer
	pull func() (sse.Event, error, bool)
	stop func()
}

// sseRoom is what an event takes besides its data, in bytes: fields, and comments before it.
const sseRoom = 4 << 10

func newSSEFrames(body io.ReadCloser, most int) *sseFrames {
	pull, stop := iter.Pull2(sse.Read(body, &sse.ReadConfig{MaxEventSize: most + sseRoom}))
	return &sseFrames{body, pull, stop}
}

func (f *sseFrames) next() (*bufpool.Buffer, string, error) {
	e, err, more := f.pull()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, "", errLargeEvent
	case err != nil:
		return nil, "", err
	case !more:
		return nil, "", io.ErrUnexpectedEOF
	case e.Data == "":
		return nil, "", nil
	}
	b := bufpool.Get(len(e.Data))
	b.B = append(b.B, e.Data...)
	return b, e.LastEventID, nil
}

func (f *sseFrames) close() {
	f.stop()
	_ = f.from.Close()
}

func (f *sseFrames) body() io.Closer { return f.from }

// protoFrames reads events in protobuf, each behind its length.
type protoFrames struct {
	from io.Closer
	r    *bufio.Reader
	most int // bytes of an event
}

func (f *protoFrames) next() (*bufpool.Buffer, string, error) {
	var head [protoHead]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, "", err
	}
	size := binary.BigEndian.Uint32(head[:])
	if int64(size) > int64(f.most) {
		return nil, "", errLargeEvent
	}
	b := bufpool.Get(int(size))
	b.B = b.B[:size]
	if _, err := io.ReadFull(f.r, b.B); err != nil {
		b.Release()
		return nil, "", io.ErrUnexpectedEOF
	}
	return b, "", nil
}

func (f *protoFrames) close() { _ = f.from.Close() }

func (f *protoFrames) body() io.Closer { return f.from }

// accept is the field Accept of a client: protobuf where its Protocols have that of agloop.v1.
func (h *httpClient) accept() string {
	if slices.Contains(h.client.cfg.Protocols, control.ProtocolProto) {
		return typeProto + ", " + typeSSE
	}
	return typeSSE
}
