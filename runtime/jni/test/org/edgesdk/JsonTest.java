package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
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
            "{\"a\" 1}", "01", "+1", "1.", ".5", "1e", "--1", "tru", "nul", "\"", "\"\\x\"",
            "\"\\u12g4\"", "\"\\u12", "\"\n\"", "{\"a\":1,\"a\":2}", "1 1", "[1]]", "\ufeff{}",
            "'a'", "{1:2}", deep.toString(), "-", "NaN1", "[\u00a01]"}) {
            assertThrows(wrong, FormatException.class, () -> Json.parse(wrong, "a test"));
        }
        for (byte[] wrong : new byte[][] {{'"', (byte) 0xc3, '"'},
            {'"', (byte) 0xed, (byte) 0xa0, (byte) 0x80, '"'}}) {
            assertThrows(FormatException.class, () -> Json.parse(ByteBuffer.wrap(wrong), "a test"));
        }
        ByteBuffer good = StandardCharsets.UTF_8.encode("\"\u00e4\"");
        assertEquals("\u00e4", Json.parse(good, ""));
        assertEquals(0, good.position());
    }

    @Test
    public void whatWasReadIsWrittenWithAnIndentAndReadAgain() {
        Object value = Json.parse("{\"b\": [1, -2.50, null, true, \"\\u00e9\\n\\\"\\\\\"],"
                + "\"a\": {}, \"c\": [], \"d\": {\"e\": 1e2}}", "a test");
        String text = Json.indented(value);
        assertEquals("{\n \"b\": [\n  1,\n  -2.50,\n  null,\n  true,\n  "
                + "\"\u00e9\\n\\\"\\\\\"\n ],\n \"a\": {},\n \"c\": [],\n \"d\": {\n"
                + "  \"e\": 1e2\n }\n}\n", text);
        assertEquals(value, Json.parse(text, "a test"));
    }

    @Test
    public void numbersThatAreUnknownAreNullAndHalfAPairIsEscaped() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("\ud83d", Arrays.<Object>asList(Double.NaN, Float.POSITIVE_INFINITY, 1.5, 2L, 'c'));
        assertEquals("{\n \"\\ud83d\": [\n  null,\n  null,\n  1.5,\n  2,\n  \"c\"\n ]\n}\n",
                Json.indented(map));
        assertEquals("[null,Infinity]", Json.line(Arrays.<Object>asList(Double.NaN,
                Double.POSITIVE_INFINITY)));
    }

    @Test
    public void aNumberKeepsHowItWasWritten() {
        Number number = (Number) Json.parse("-2.50", "");
        assertEquals("-2.50", number.toString());
        assertEquals(-2.5, number.doubleValue(), 0);
        assertEquals(-2.5f, number.floatValue(), 0);
        assertEquals(-2, number.intValue());
        assertEquals(-2L, number.longValue());
        assertEquals(number, Json.parse("-2.50", ""));
        assertEquals(number.hashCode(), Json.parse("-2.50", "").hashCode());
        assertNotEquals(number, Json.parse("-2.5", ""));
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
