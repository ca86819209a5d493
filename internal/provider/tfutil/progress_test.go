package tfutil

import "testing"

func TestTwentieth(t *testing.T) {
	for _, c := range []struct{ sent, size, want int64 }{
		{0, 0, 20}, {0, 100, 0}, {4, 100, 0}, {5, 100, 1}, {100, 100, 20}, {1, 1, 20}, {3, 7, 8}, {7, 7, 20}, {1 << 29, 1 << 30, 10}, {1 << 30, 1 << 30, 20},
	} {
		if got := twentieth(c.sent, c.size); got != c.want {
			t.Errorf("%d of %d bytes are %d twentieths, want %d", c.sent, c.size, got, c.want)
		}
	}
}
