package identity

import "testing"

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"deployment":"shop","node":"web1","incarnation":1,"listen":":9443","key":"","chain":[],"ca":[]}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseRecord(data)
		if err != nil {
			return
		}
		if again, err := parseRecord(s.record()); err != nil || !again.leaf().Equal(s.leaf()) {
			t.Errorf("%s does not survive a round trip: %v", data, err)
		}
	})
}
