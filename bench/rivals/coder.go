package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

func serveCoder(addr string) error {
	return http.ListenAndServe(addr, http.HandlerFunc(coderEcho))
}

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	ctx := context.Background()
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, p); err != nil {
			return
		}
	}
}
