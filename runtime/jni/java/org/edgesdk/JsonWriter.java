package org.edgesdk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** One text of JSON being written: sorted as for a seal, on one line as a log, or indented. */
final class JsonWriter {
    private static final Comparator<String> BY_CODE_POINT = new Comparator<String>() {
        @Override
        public int compare(String a, String b) {
            int i = 0;
            while (i < a.length() && i < b.length()) {
                int x = a.codePointAt(i);
                int y = b.codePointAt(i);
                if (x != y) {
                    return x < y ? -1 : 1;
                }
                i += Character.charCount(x);
            }
            return Integer.compare(a.length(), b.length());
        }
    };

    private final boolean sorted;
    private final boolean indented;
    private final StringBuilder out = new StringBuilder();
    private int depth;

    JsonWriter(boolean sorted, boolean indented) {
        this.sorted = sorted;
        this.indented = indented;
    }

    String text(Object value) {
        write(value);
        return out.toString();
    }

    private void write(Object value) {
        if (value instanceof Map) {
            writeMap((Map<?, ?>) value);
        } else if (value instanceof List) {
            begin('[');
            String before = "";
            for (Object element : (List<?>) value) {
                next(before);
                write(element);
                before = ",";
            }
            end(']', before.isEmpty());
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            // A log keeps infinity, as Python's json does; a report is for any reader of JSON.
            boolean unknown = Double.isNaN(number) || indented && Double.isInfinite(number);
            out.append(unknown ? "null" : value.toString());
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            out.append(value);
        } else {
            quote(value.toString());
        }
    }

    private void writeMap(Map<?, ?> map) {
        List<String> names = new ArrayList<String>();
        for (Object name : map.keySet()) {
            names.add((String) name);
        }
        if (sorted) {
            Collections.sort(names, BY_CODE_POINT);
        }
        begin('{');
        String before = "";
        for (String name : names) {
            next(before);
            quote(name);
            out.append(indented ? ": " : ":");
            write(map.get(name));
            before = ",";
        }
        end('}', names.isEmpty());
    }

    private void begin(char bracket) {
        out.append(bracket);
        depth++;
    }

    private void next(String comma) {
        out.append(comma);
        newLine();
    }

    private void end(char bracket, boolean empty) {
        depth--;
        if (!empty) {
            newLine();
        }
        out.append(bracket);
    }

    private void newLine() {
        if (indented) {
            out.append('\n');
            for (int i = 0; i < depth; i++) {
                out.append(' ');
            }
        }
    }

    private void quote(String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            int place = "\"\\\b\f\n\r\t".indexOf(c);
            if (place >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(place));
            } else if (c < 0x20 || indented && Character.isSurrogate(c)) {
                // Escaped, half a pair can still be written in UTF-8.
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}
