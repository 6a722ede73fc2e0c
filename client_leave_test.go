package agloop_test

import (
	"runtime"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// TestBodyThatDoesNotReturn: a panic and a Goexit in the body of a run leave it as a break does.
// The connection closes, and the next run has another one and gets nothing that was meant for this.
func TestBodyThatDoesNotReturn(t *testing.T) {
	frames := []string{`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`}
	for range 100 {
		frames = append(frames, `{"type":"CUSTOM","name":"n","value":1}`)
	}
	for name, leave := range map[string]func(){
		"panic":  func() { panic("a mistake of the caller") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: frames}})
			c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			input := &agui.RunAgentInput{ThreadID: "t", RunID: "r"}
			left := make(chan struct{})
			go func() {
				defer close(left)
				defer func() { _ = recover() }()
				for _, err := range c.Run(t.Context(), input) {
					if err != nil {
						t.Error(err)
					}
					leave()
				}
			}()
			<-left
			n := 0
			for _, err := range c.Run(t.Context(), input) { // dials again
				if n++; err != nil {
					t.Errorf("the next run: %v", err)
				}
				if n == len(frames) {
					break
				}
			}
			if n != len(frames) {
				t.Errorf("the next run has %d events", n)
			}
			if held := c.Pending(); held != 0 {
				t.Errorf("%d bytes wait for nobody", held)
			}
		})
	}
}
