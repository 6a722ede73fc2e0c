package agloop

import (
	"context"

	"github.com/agloop/agloop/run"
)

// CursorStore keeps how far a client has applied the events of each run, so that another process of
// the host goes on there. What the events made must be stored with the cursor, in one write: a
// cursor alone is of no use. Its methods are called in the goroutine of the loop over the events.
type CursorStore interface {
	// Load returns the cursor of a run, the zero Cursor when there is none. An error ends the
	// sequence that asks.
	Load(thread, run string) (Cursor, error)
	// Save is called behind each event that was applied, the terminal one too. An error ends the
	// sequence.
	Save(thread, run string, c Cursor) error
}

// maxCursors bounds how many runs that have not ended a client remembers.
const maxCursors = 4096

// load returns what was applied of a run, by this client or before.
func (m *mux) load(thread, runID string) (run.Cursor, error) {
	m.mu.Lock()
	c, ok := m.cursors[runName{thread, runID}]
	m.mu.Unlock()
	if ok || m.store == nil {
		return c, nil
	}
	return m.store.Load(thread, runID)
}

// late implements source: a log ends with its terminal event.
func (v *view) late(context.Context) (item, bool) { return item{}, false }

// applied implements source: the caller has asked for the next event, or its loop came to its end.
func (v *view) applied(it item) error {
	if it.at.Offset == 0 {
		return nil
	}
	return v.mux.save(v.thread, it.leg.runID, it.at)
}

// save notes how far the events of a run were applied.
func (m *mux) save(thread, runID string, at run.Cursor) error {
	m.mu.Lock()
	if m.cursors == nil {
		m.cursors = make(map[runName]run.Cursor)
	}
	if len(m.cursors) >= maxCursors {
		for other := range m.cursors { // any: nobody goes on with so many
			delete(m.cursors, other)
			break
		}
	}
	m.cursors[runName{thread, runID}] = at
	m.mu.Unlock()
	if m.store == nil {
		return nil
	}
	return m.store.Save(thread, runID, at)
}

// forget drops the cursor of a run that has ended. Under mu.
func (m *mux) forget(thread, runID string) { delete(m.cursors, runName{thread, runID}) }

// Cursor returns how far the events of a run were applied: those that Run, Attach and Follow have
// yielded, each when the loop asked for the next one. It is the zero Cursor for a run that is not
// known, and for one that has ended unless ClientConfig.Cursors knows it. Attach goes on there.
func (c *Client) Cursor(thread, run string) Cursor {
	if c.mux == nil {
		return Cursor{}
	}
	at, err := c.mux.load(thread, run)
	if err != nil {
		c.cfg.Logger.Warn("agloop: a CursorStore failed", "err", err)
	}
	return at
}
