package org.edgesdk.demo.core;

import java.util.List;
import java.util.Map;

/**
 * JSON of maps, lists, text, numbers and truth values; keys in the map's own order.
 *
 * <p>A number that is NaN or infinite is unknown, and written as null.
 */
public final class JsonText {
    private JsonText() {
    }

    /** Return a value as JSON with an indent of one space a level, as Python's indent=1. */
    public static String of(Object value) {
        StringBuilder text = new StringBuilder();
        write(text, value, 1);
        return text.append('\n').toString();
    }

    private static void write(StringBuilder text, Object value, int depth) {
        if (value == null) {
            text.append("null");
        } else if (value instanceof Map) {
            writeMap(text, (Map<?, ?>) value, depth);
        } else if (value instanceof List) {
            writeList(text, (List<?>) value, depth);
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            boolean known = !Double.isNaN(number) && !Double.isInfinite(number);
            text.append(known ? Double.toString(number) : "null");
        } else if (value instanceof Number || value instanceof Boolean) {
            text.append(value);
        } else {
            writeText(text, value.toString());
        }
    }

    private static void writeMap(StringBuilder text, Map<?, ?> map, int depth) {
        String before = "{";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            newLine(text.append(before), depth);
            writeText(text, entry.getKey().toString());
            text.append(": ");
            write(text, entry.getValue(), depth + 1);
            before = ",";
        }
        end(text, map.isEmpty() ? "{" : "", '}', depth);
    }

    private static void writeList(StringBuilder text, List<?> list, int depth) {
        String before = "[";
        for (Object value : list) {
            newLine(text.append(before), depth);
            write(text, value, depth + 1);
            before = ",";
        }
        end(text, list.isEmpty() ? "[" : "", ']', depth);
    }

    private static void end(StringBuilder text, String opened, char close, int depth) {
        if (opened.isEmpty()) {
            newLine(text, depth - 1);
        }
        text.append(opened).append(close);
    }

    private static void newLine(StringBuilder text, int depth) {
        text.append('\n');
        for (int i = 0; i < depth; i++) {
            text.append(' ');
        }
    }

    private static void writeText(StringBuilder text, String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c)) {
                text.append('\\').append('u');
                String hex = Integer.toHexString(c);
                text.append("0000", 0, 4 - hex.length()).append(hex);
            } else {
                text.append(c);
            }
        }
        text.append('"');
    }
}
