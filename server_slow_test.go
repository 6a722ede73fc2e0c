package agloop_test

import (
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// oneFull reports whether a connection of the server waits until its peer reads.
func oneFull(srv *agloop.Server) (full bool) {
	srv.Conns(func(c *agloop.Conn) { full = full || c.Full() })
	return full
}

// TestR31QuietRunOnAFullConnection: an attachment to a run that says nothing is answered when there is room,
// though there was none when it was asked for.
func TestR31QuietRunOnAFullConnection(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{Limits: agloop.Limits{SoftLimit: 8 << 10, WriteTimeout: -1}})
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("q", "quiet"))
	p.count("quiet", 2, 3, 10)
	v.events(3)
	at := v.attachments[1].cursor()
	slow, fast := newNarrowViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	slow.start("1", namedInput("t", "loud"))
	p.count("loud", 2, 2, 10)
	fast.attachAt("1", "t", "loud", run.Cursor{})
	fast.events(2)
	for n := uint64(3); !oneFull(srv); n++ {
		p.count("loud", n, n, 30_000)
		fast.events(1)
	}
	slow.attachAt("2", "q", "quiet", at)
	testkit.Await(t, "it is attached", func() bool {
		return srv.Run(agloop.RunKey{Scope: "ann", Thread: "q", Run: "quiet"}).Viewers() == 2
	})
	for slow.attachments[2] == nil { // with no event of the quiet run
		if _, err := slow.read(); err != nil {
			t.Fatal(err)
		}
	}
	if a := slow.attachments[2]; a.Offset != at.Offset+1 || a.Last != at.Offset || a.Ref != "2" {
		t.Errorf("%+v", a.Run)
	}
	p.count("quiet", 4, 4, 10)
	if f := slow.await("CUSTOM"); f.of != slow.attachments[2] || f.first != 4 {
		t.Errorf("offset %d of %s", f.first, f.of.Ref)
	}
}
