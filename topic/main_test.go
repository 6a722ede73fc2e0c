package topic_test

import (
	"testing"

	"github.com/agloop/agloop/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
