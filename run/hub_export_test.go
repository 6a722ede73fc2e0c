package run

// Sizes is how many runs, threads and lingering runs a hub has.
func (h *Hub) Sizes() (runs, threads, lingering int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.runs), len(h.threads), len(h.lingering)
}

// Held is how many bytes a hub's logs have.
func (h *Hub) Held() int64 { return h.held.Load() }
