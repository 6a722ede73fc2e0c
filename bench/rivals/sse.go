package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// ssePath is where a POST asks for a run.
const ssePath = "/agui"

// serveSSE is a server of Server-Sent Events as one is written by hand on net/http: the run is on the goroutine of
// its request, and a Flush follows each event.
func serveSSE(s setup) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ssePath, sseStream)
	return s.serveHTTP(mux)
}

func sseStream(w http.ResponseWriter, r *http.Request) {
	var in runInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	_ = in.run(func(event []byte) error {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", event); err != nil {
			return err
		}
		flusher.Flush()
		return r.Context().Err()
	})
}
