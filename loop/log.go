package loop

import (
	"fmt"
	"log/slog"
	"os"
)

// gnetLog routes gnet's messages to slog. gnet keeps one logger for the whole process, so of
// several engines the last one's log receives them.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(format string, args ...any) {
	g.log.Debug(fmt.Sprintf(format, args...), "from", "gnet")
}

// Infof is Debug too: gnet announces its loops at this level.
func (g gnetLog) Infof(format string, args ...any) { g.Debugf(format, args...) }

func (g gnetLog) Warnf(format string, args ...any) {
	g.log.Warn(fmt.Sprintf(format, args...), "from", "gnet")
}

func (g gnetLog) Errorf(format string, args ...any) {
	g.log.Error(fmt.Sprintf(format, args...), "from", "gnet")
}

func (g gnetLog) Fatalf(format string, args ...any) {
	g.Errorf(format, args...)
	os.Exit(1)
}
