package codec_test

import (
	"slices"
	"testing"

	"github.com/agloop/agloop/codec"
)

// Every head one byte away from good ones: what passes must pass elsewhere.
func TestUpgradeOneByteOff(t *testing.T) {
	if testing.Short() || upgradeRace {
		t.Skip("slow")
	}
	for _, name := range []string{"lower case names", "absolute target", "protocols in two fields"} {
		good := []byte(upgradeGood[name])
		check := func(head []byte) {
			n, _, _ := codec.ScanHead(head, 0, codec.HeadLimits{})
			req, upgrade, err := codec.ParseUpgradeRequest(head[:n])
			if !upgrade || err != nil {
				return
			}
			if upgradeForbidden(head[:n]) {
				t.Fatalf("accepted %q", head[:n])
			}
			upgradeAgree(t, head[:n], &req)
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
