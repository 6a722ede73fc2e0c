package agloop_test

import (
	"os"
	"strings"
	"testing"
)

// TestWayOfAMessage: README and the package's documentation tell it in the same words.
func TestWayOfAMessage(t *testing.T) {
	block := func(path, indent string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		_, after, _ := strings.Cut(string(text), "# The way of a message\n")
		for line := range strings.Lines(after) {
			if inside, ok := strings.CutPrefix(line, indent); ok {
				b.WriteString(inside)
			} else if b.Len() > 0 {
				break
			}
		}
		return b.String()
	}
	readme, doc := block("README.md", "    "), block("doc.go", "//\t")
	if len(readme) < 200 || readme != doc {
		t.Errorf("README says\n%s\ndoc.go says\n%s", readme, doc)
	}
}
