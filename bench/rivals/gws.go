package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

// serveGws runs the library's own server, which is leaner than its upgrader behind net/http. Messages are handled one
// by one on the goroutine of their connection, as is its default.
func serveGws(s setup) error {
	options := func() *gws.ServerOption { // which the library fills in
		return &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{
			Enabled: s.deflate != "", Threshold: leastDeflated,
			ServerContextTakeover: s.deflate == "takeover", ClientContextTakeover: s.deflate == "takeover",
		}}
	}
	echo := gws.NewServer(&gwsEcho{}, options())
	others := map[string]*gws.Upgrader{
		streamPath: gws.NewUpgrader(&gwsStream{}, options()),
		fanoutPath: gws.NewUpgrader(&gwsFanout{}, options()),
	}
	echo.OnError = func(net.Conn, error) {} // the default logs each connection that ends before its upgrade
	upgradeEcho := echo.OnRequest
	echo.OnRequest = func(conn net.Conn, br *bufio.Reader, r *http.Request) {
		other := others[r.URL.Path]
		if other == nil {
			upgradeEcho(conn, br, r)
			return
		}
		if c, err := other.UpgradeFromConn(conn, br, r); err == nil {
			c.ReadLoop()
		}
	}
	ln, err := s.listen()
	if err != nil {
		return err
	}
	return echo.RunListener(ln)
}

type gwsEcho struct{ gws.BuiltinEventHandler }

func (*gwsEcho) OnPing(c *gws.Conn, payload []byte) {
	c.WritePong(payload)
}

func (*gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.WriteMessage(m.Opcode, m.Bytes())
}

// gwsStream has the run on the goroutine of its connection, and a WriteMessage for each event.
type gwsStream struct{ gwsEcho }

func (*gwsStream) OnMessage(c *gws.Conn, m *gws.Message) {
	var in runInput
	err := json.Unmarshal(m.Bytes(), &in)
	m.Close()
	if err == nil {
		err = in.run(func(event []byte) error { return c.WriteMessage(gws.OpcodeText, event) })
	}
	if err == nil {
		c.WriteClose(1000, nil)
	}
}

// gwsFanout builds a message's frame once. The library queues it to each connection and writes from there.
type gwsFanout struct {
	gwsEcho
	members[*gws.Conn]
}

func (h *gwsFanout) OnOpen(c *gws.Conn) {
	h.add(c)
}

func (h *gwsFanout) OnClose(c *gws.Conn, _ error) {
	h.remove(c)
}

func (h *gwsFanout) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	h.each(func(c *gws.Conn) {
		b.Broadcast(c)
	})
}
