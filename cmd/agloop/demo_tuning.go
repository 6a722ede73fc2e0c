package main

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/agloop/agloop"
)

// pageTuning is what the page shows of the performance system.
type pageTuning struct {
	Profile        agloop.Profile `json:"profile"`
	Adaptive       bool           `json:"adaptive"`
	BatchSize      int            `json:"batchSize"`      // messages that end a window
	BatchTimeoutMS float64        `json:"batchTimeoutMs"` // 0 when nothing waits
	BatchBytes     int            `json:"batchBytes"`     // bytes that end a window
	SoftLimit      int            `json:"softLimit"`      // bytes that may wait for a slow reader
	BufferPool     int            `json:"bufferPool"`     // buffers that are kept for the next message
	MemoryTier     string         `json:"memoryTier"`
	MemoryPressure float64        `json:"memoryPressure"` // percent
	LastDecision   *pageDecision  `json:"lastDecision"`   // null when there was none
}

type pageDecision struct {
	Toward     agloop.Profile `json:"toward"`
	Reason     string         `json:"reason"`
	SecondsAgo float64        `json:"secondsAgo"` // no time of day, because the page's clock may differ
}

func tuningOf(m *agloop.PerformanceManager) pageTuning {
	memory, window := m.GetMemoryManager(), m.GetMessageBatcher()
	all := m.Tuning()
	t := pageTuning{
		BatchBytes: all.MessageBatchBytes, SoftLimit: all.SoftLimit, BufferPool: all.BufferPoolSize,
		Profile:        m.Profile(),
		Adaptive:       m.GetAdaptiveOptimizer().Enabled(),
		BatchSize:      window.BatchSize(),
		BatchTimeoutMS: max(0, window.BatchTimeout().Seconds()*1e3),
		MemoryTier:     memory.Tier().String(),
		MemoryPressure: memory.GetMemoryPressure(),
	}
	if d, ok := m.GetAdaptiveOptimizer().Last(); ok {
		t.LastDecision = &pageDecision{Toward: d.Toward, Reason: d.Reason, SecondsAgo: time.Since(d.At).Seconds()}
	}
	return t
}

// tuningChange is what the page asks for. What is absent stays as it is.
type tuningChange struct {
	Profile  *string `json:"profile"`
	Adaptive *bool   `json:"adaptive"`
}

var (
	errNothingAsked = errors.New(`neither "profile" nor "adaptive" is given`)
	errMediaType    = errors.New("send application/json or application/x-www-form-urlencoded")
)

// mostOfChange is the largest body of a change, in bytes.
const mostOfChange = 1 << 10

// readChange reads a change from JSON or a form.
func readChange(w http.ResponseWriter, r *http.Request) (c tuningChange, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, mostOfChange)
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/json":
		in := json.NewDecoder(r.Body)
		in.DisallowUnknownFields()
		if err := in.Decode(&c); err != nil {
			return c, err
		}
		if _, err := in.Token(); !errors.Is(err, io.EOF) {
			return c, errors.New("there is more than one value")
		}
	case "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return c, err
		}
		if r.PostForm.Has("profile") {
			name := r.PostForm.Get("profile")
			c.Profile = &name
		}
		if r.PostForm.Has("adaptive") {
			on, err := strconv.ParseBool(r.PostForm.Get("adaptive"))
			if err != nil {
				return c, err
			}
			c.Adaptive = &on
		}
	default:
		return c, errMediaType
	}
	if c.Profile == nil && c.Adaptive == nil {
		return c, errNothingAsked
	}
	return c, nil
}

// changeTuning answers POST /profile with the tuning that holds from then on. A bad request changes
// nothing.
func changeTuning(w http.ResponseWriter, r *http.Request, m *agloop.PerformanceManager) {
	c, err := readChange(w, r)
	var p agloop.Profile
	if err == nil && c.Profile != nil {
		p, err = parseProfile(*c.Profile)
	}
	switch {
	case errors.Is(err, errMediaType):
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if p != "" {
		_ = m.SetProfile(p) // checked by parseProfile
	}
	if c.Adaptive != nil {
		if optimizer := m.GetAdaptiveOptimizer(); *c.Adaptive {
			optimizer.Enable()
		} else {
			optimizer.Disable()
		}
	}
	writeJSON(w, tuningOf(m))
}
