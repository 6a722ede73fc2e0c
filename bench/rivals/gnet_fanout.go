package main

import (
	"bytes"
	"context"
	"sync"

	"github.com/panjf2000/gnet/v2"
)

// gnetRoom is the part of the fan-out that lives on one loop. All its fields belong to that loop.
type gnetRoom struct {
	scratch
	loop    gnet.EventLoop
	members map[gnet.Conn]struct{}
	news    bytes.Buffer // the frames of one read, which every member gets in one write
}

// gnetRooms is a room for each loop. Its lock is taken when a loop gets its first member and once for what a read
// brings.
type gnetRooms struct {
	mu  sync.RWMutex
	all []*gnetRoom
}

// enter is called on the loop of c.
func (rs *gnetRooms) enter(c gnet.Conn) {
	room := rs.of(c.EventLoop())
	room.members[c] = struct{}{}
	c.SetContext(room)
}

func (rs *gnetRooms) of(loop gnet.EventLoop) *gnetRoom {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.all {
		if r.loop == loop {
			return r
		}
	}
	r := &gnetRoom{loop: loop, members: make(map[gnet.Conn]struct{})}
	rs.all = append(rs.all, r)
	return r
}

func (*gnetServer) OnClose(c gnet.Conn, _ error) gnet.Action {
	if r, ok := c.Context().(*gnetRoom); ok {
		delete(r.members, c)
	}
	return gnet.None
}

// publish is called on the loop of from. Its members are written to at once; every other loop is handed a copy, one
// task for all of its members.
func (rs *gnetRooms) publish(from *gnetRoom) {
	if from.news.Len() == 0 {
		return
	}
	rs.mu.RLock()
	others := rs.all
	rs.mu.RUnlock()
	var kept []byte
	for _, r := range others {
		if r == from {
			continue
		}
		if kept == nil {
			kept = bytes.Clone(from.news.Bytes())
		}
		r.loop.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
			r.write(kept)
			return nil
		}))
	}
	from.write(from.news.Bytes())
	from.news.Reset()
}

// write may lose members on the way: a write that fails closes its connection at once.
func (r *gnetRoom) write(frames []byte) {
	for c := range r.members {
		c.Write(frames)
	}
}
