package api

import (
	"regexp"
	"slices"
	"strings"
)

// LogFormatFetches lists the sample fetches of HAProxy that a log format may
// use. A fetch is left out if it tells of the machine rather than of the
// request, as env does, or gives away a key or a password.
func LogFormatFetches() []string {
	return strings.Fields(`
		accept_date bc.timer.connect bc_dst bc_dst_port bc_err bc_err_name bc_err_str bc_http_major bc_rtt bc_rttvar bc_src bc_src_port
		be_conn be_id be_name be_sess_rate bytes_in bytes_out
		capture.req.hdr capture.req.method capture.req.uri capture.req.ver capture.res.hdr capture.res.ver
		date date_us dst dst_is_local dst_port fc.timer.handshake fc.timer.total
		fc_dst fc_dst_port fc_err fc_err_name fc_err_str fc_http_major fc_lost fc_nb_streams fc_rcvd_proxy fc_retrans fc_rtt fc_rttvar
		fc_src fc_src_port fe_conn fe_id fe_name fe_req_rate fe_sess_rate hostname http_first_req int bool ipv4 ipv6 method nbsrv queue
		rand req.timer.queue request_date res.timer.data server_status so_id so_name src src_is_local src_port
		srv_conn srv_id srv_is_up srv_name srv_queue srv_sess_rate srv_weight
		ssl_c_i_dn ssl_c_notafter ssl_c_notbefore ssl_c_s_dn ssl_c_serial ssl_c_sha1 ssl_c_used ssl_c_verify
		ssl_fc ssl_fc_alpn ssl_fc_cipher ssl_fc_curve ssl_fc_has_crt ssl_fc_has_sni ssl_fc_is_resumed ssl_fc_protocol ssl_fc_sni ssl_fc_use_keysize
		status str txn.conn_retries txn.redispatched txn.sess_term_state txn.status txn.timer.total txn.timer.user unique-id uuid var`)
}

// LogFormatConverters lists the converters of HAProxy that a log format may
// use. They compute with what they are given; those that open files (map and
// its kin, jwt_verify) or change or write anything (set-var, debug) are left out.
func LogFormatConverters() []string {
	return strings.Fields(`
		add and b64dec base64 bool bytes concat cpl crc32 crc32c cut_crlf digest div even field hex hex2i host_only http_date iif ipmask
		json json_query language length lower ltime ltrim mod ms_ltime ms_utime mul neg not odd or param port_only regsub
		rfc7239_field rfc7239_is_valid rtrim sha1 sha2 sub ub64dec ub64enc upper url_dec url_enc us_ltime us_utime utime word xor
		xxh3 xxh32 xxh64`)
}

// formatSample is a fetch or converter at the beginning of a text. Its argument
// list holds no brackets and no backslash, and is quoted with double quotes
// only, so that HAProxy cannot read another end of it.
var formatSample = regexp.MustCompile(`^([A-Za-z0-9_.+-]+)(\((?:[^()\[\]"'\\]|"[^"\\]*")*\))?([,\]])`)

// checkLogFormat says which part of a log format HAProxy must not be given,
// "" if none. It admits expressions made of known fetches and converters only;
// all the rest of the format is checked by HAProxy's checker.
//
// An expression begins with a bracket after "%", "%(name)" or "%{flags}". Any
// bracket behind such a character is taken for one: HAProxy finds no more.
func checkLogFormat(format string) string {
	for i := 0; i < len(format); i++ {
		switch {
		case strings.HasPrefix(format[i:], "%%["): // a percent sign, and text
			i += 2
		case strings.HasPrefix(format[i:], "%%"):
			i++
		case format[i] == '[' && i > 0 && strings.IndexByte("%)}", format[i-1]) >= 0:
			rest, wrong := checkExpression(format[i+1:])
			if wrong != "" {
				return wrong
			}
			i = len(format) - len(rest) - 1
		}
	}
	return ""
}

// checkExpression checks an expression from behind its opening bracket and
// returns what follows its closing one.
func checkExpression(text string) (rest, wrong string) {
	allowed, sort := LogFormatFetches(), "sample fetch"
	for {
		sample := formatSample.FindStringSubmatch(text)
		if sample == nil {
			return "", say("the expression at %q cannot be read: write it as %%[FETCH(ARGUMENTS),CONVERTER(ARGUMENTS)] without spaces, quote arguments with double quotes, and use no brackets or backslashes in them", Shorten(text, 40))
		}
		if !slices.Contains(allowed, sample[1]) {
			return "", say("the %s %q is not allowed, because it could open files or is not known to be harmless%s. The documentation of log_format lists all",
				sort, sample[1], Suggest("; the nearest that are allowed: ", Nearest(sample[1], allowed)))
		}
		text = text[len(sample[0]):]
		if sample[3] == "]" {
			return text, ""
		}
		allowed, sort = LogFormatConverters(), "converter"
	}
}
