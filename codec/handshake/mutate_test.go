package handshake_test

import (
	"slices"
	"testing"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
)

// Every head one byte away from good ones: what passes must pass elsewhere.
func TestOneByteOff(t *testing.T) {
	if testing.Short() || testkit.Race {
		t.Skip("slow")
	}
	for _, name := range []string{"lower case names", "absolute target", "protocols in two fields"} {
		good := []byte(goodRequests[name])
		check := func(head []byte) {
			n, _, _ := handshake.ScanHead(head, 0, handshake.HeadLimits{})
			req, upgrade, err := handshake.ParseRequest(head[:n])
			if !upgrade || err != nil {
				return
			}
			if forbidden(head[:n]) {
				t.Fatalf("accepted %q", head[:n])
			}
			agree(t, head[:n], &req)
		}
		for at := range good {
			check(slices.Delete(slices.Clone(good), at, at+1))
			for c := range 256 {
				head := slices.Clone(good)
				head[at] = byte(c)
				check(head)
				check(slices.Insert(slices.Clone(good), at, byte(c)))
			}
		}
	}
}
