package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.nio.charset.StandardCharsets;
import org.junit.Test;

public final class JsonTest {
    @Test
    public void canonicalTextIsPythons() {
        assertEquals("{\"\":[],\"Z\":-0.5e+3,\"a\":{\"b\":[true,false,null,\"\\u0001\\n/\u00e4\"]},"
                + "\"\uffee\":1,\"\ud83d\ude00\":10000000000000000000000}",
                Json.canonical(Json.parse(" {\"\ud83d\ude00\": 10000000000000000000000, \"a\" :"
                + "{\"b\":[true,false,null,\"\\u0001\\n\\/\\u00E4\"]}, \"\uffee\":1, \"Z\": -0.5e+3"
                + ", \"\": [ ] }\n", "a test")));
    }

    @Test
    public void whatIsNoJsonIsRefused() {
        StringBuilder deep = new StringBuilder();
        for (int i = 0; i < 100_000; i++) {
            deep.append('[');
        }
        for (String wrong : new String[] {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "[1 2]",
            "01", "+1", "1.", ".5", "1e", "--1", "tru", "nul", "\"", "\"\\x\"", "\"\\u12g4\"",
            "\"\\u12", "\"\n\"", "{\"a\":1,\"a\":2}", "1 1", "[1]]", "\ufeff{}", "'a'",
            "{1:2}", deep.toString(), "-", "NaN1", "[\u00a01]"}) {
            assertThrows(wrong, FormatException.class, () -> Json.parse(wrong, "a test"));
        }
        assertThrows(FormatException.class, () -> Json.parse(new byte[] {'"', (byte) 0xc3, '"'},
                "a test"));
        assertThrows(FormatException.class, () -> Json.parse(new byte[] {'"', (byte) 0xed,
            (byte) 0xa0, (byte) 0x80, '"'}, "a test"));
        assertEquals("\u00e4", Json.parse("\"\u00e4\"".getBytes(StandardCharsets.UTF_8), ""));
    }

    @Test
    public void valuesOfAnotherKindAreRefused() {
        Object number = Json.parse("1.5", "");
        assertThrows(FormatException.class, () -> Json.integer(number, ""));
        assertThrows(FormatException.class, () -> Json.string(number, ""));
        assertThrows(FormatException.class, () -> Json.list(number, ""));
        assertThrows(FormatException.class, () -> Json.object(number, ""));
        assertThrows(FormatException.class, () -> Json.truth(number, ""));
        assertThrows(FormatException.class, () -> Json.number("1.5", ""));
        assertThrows(FormatException.class, () -> Json.number(null, ""));
        assertThrows(FormatException.class, () -> Json.integer(Json.parse("1e2", ""), ""));
        assertThrows(FormatException.class,
                () -> Json.integer(Json.parse("99999999999999999999", ""), ""));
        assertThrows(FormatException.class, () -> Json.small(Json.parse("4294967296", ""), ""));
        assertEquals(1.5, Json.number(number, ""), 0);
        assertEquals(Double.NEGATIVE_INFINITY, Json.number(Json.parse("-Infinity", ""), ""), 0);
        assertEquals(Double.NaN, Json.known(null, ""), 0);
    }
}
