package main

import (
	"net/http"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// serveNbio runs nbio as its author benchmarks it: connections on the poller, payloads back to the pool after
// OnMessage, no deadlines. Messages run on the engine's pool of goroutines, which is its default.
func serveNbio(s setup) error {
	logging.SetLevel(logging.LevelError)
	mux := http.NewServeMux()
	mux.HandleFunc("/", nbioHandler(nbioEcho()))
	mux.HandleFunc(fanoutPath, nbioHandler(nbioFanout()))
	cfg := nbhttp.Config{
		Network:                 "tcp",
		NPoller:                 s.loops,
		Handler:                 mux,
		IOMod:                   nbhttp.IOModNonBlocking,
		ReleaseWebsocketPayload: true,
		// Above 32 KiB the default splits a message into frames. No other server here does.
		MaxWebsocketFramePayloadSize: websocket.DefaultMessageLengthLimit,
	}
	if s.tls {
		// Its own TLS, a fork of crypto/tls that reads what has come and returns.
		cert, err := tls.X509KeyPair(selfSigned())
		if err != nil {
			return err
		}
		cfg.AddrsTLS, cfg.TLSConfig = []string{s.addr}, &tls.Config{Certificates: []tls.Certificate{cert}}
	} else {
		cfg.Addrs = []string{s.addr}
	}
	engine := nbhttp.NewEngine(cfg)
	if err := engine.Start(); err != nil {
		return err
	}
	select {} // the engine reports failures by its log alone
}

func nbioHandler(u *websocket.Upgrader) http.HandlerFunc {
	u.KeepaliveTime = 0 // a deadline moved after each message would be work that nobody else does
	u.CheckOrigin = func(*http.Request) bool { return true }
	return func(w http.ResponseWriter, r *http.Request) {
		u.Upgrade(w, r, nil)
	}
}

func nbioEcho() *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, p []byte) {
		c.WriteMessage(kind, p)
	})
	return u
}

// nbioFanout writes to each connection in turn: a write never blocks, what the kernel does not take is kept.
func nbioFanout() *websocket.Upgrader {
	var all members[*websocket.Conn]
	u := websocket.NewUpgrader()
	u.OnOpen(all.add)
	u.OnClose(func(c *websocket.Conn, _ error) {
		all.remove(c)
	})
	u.OnMessage(func(_ *websocket.Conn, kind websocket.MessageType, p []byte) {
		all.each(func(c *websocket.Conn) {
			c.WriteMessage(kind, p)
		})
	})
	return u
}
