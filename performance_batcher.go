package agloop

import "time"

// GetMessageBatcher returns the batch window.
func (m *PerformanceManager) GetMessageBatcher() *MessageBatcher { return &MessageBatcher{m} }

// MessageBatcher is the batch window of a server or transport: messages that follow each other
// closely leave in one write.
type MessageBatcher struct{ manager *PerformanceManager }

// BatchSize is the number of messages that end a window now.
func (b *MessageBatcher) BatchSize() int { return b.manager.Tuning().MessageBatchSize }

// BatchTimeout is how long a window is now; 0 or less is none.
func (b *MessageBatcher) BatchTimeout() time.Duration { return b.manager.Tuning().MessageBatchTimeout }

// SetBatch changes the window, for open connections too. The error names the field.
func (b *MessageBatcher) SetBatch(size int, timeout time.Duration) error {
	return b.manager.changeConfig(func(cfg *PerformanceConfig) {
		cfg.MessageBatchSize, cfg.MessageBatchTimeout = size, timeout
	})
}
