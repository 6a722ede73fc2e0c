package agloop

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/agloop/agloop/run"
)

// streamOutlet is where the events of a run go over HTTP.
type streamOutlet interface {
	run.Outlet
	// answer answers the visit by what the viewer is sent.
	answer(v *visit, viewer *run.Viewer)
}

// newOutlet makes the outlet of a visit: a response on a loop, where that can be, for it takes less than
// half of the memory there; else one that net/http keeps. The client has been told when ok is false.
func (v *visit) newOutlet() (out streamOutlet, ok bool) {
	switch {
	case v.srv.door.MayRespond(v.r):
		return v.newLoopStream(), true
	case flushes(v.w):
		return v.newStream(), true
	}
	v.srv.log.Error("agloop: middleware wraps the response in something that cannot flush, which a stream needs")
	v.fail(&httpProblem{status: http.StatusInternalServerError, Code: run.CodeInternal, Message: "the server failed"})
	return nil, false
}

// acceptsProto reports whether the client asks for protobuf.
func (v *visit) acceptsProto() bool { return acceptsProto(v.r.Header["Accept"]) }

// setStreamFields sets the fields of a response that is a stream.
func (v *visit) setStreamFields(viewer *run.Viewer) {
	header := v.w.Header()
	header.Set(LastHeader, strconv.FormatUint(viewer.Last(), 10))
	header.Set("Content-Type", typeSSE)
	if v.acceptsProto() {
		header.Set("Content-Type", typeProto)
	}
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // of nginx
	header.Add("Vary", "Accept")
}

// httpStreams are those of a server.
type httpStreams struct {
	// Any goroutine, under mu.
	mu  sync.Mutex
	all map[peerConn]struct{}
}

func (l *httpStreams) add(c peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[peerConn]struct{})
	}
	l.all[c] = struct{}{}
}

func (l *httpStreams) remove(c peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}

// closeAll closes all of them.
func (l *httpStreams) closeAll(code CloseCode, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		c.Close(code, reason)
	}
}

func (l *httpStreams) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}
