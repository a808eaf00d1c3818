package org.edgesdk.demo;

import android.content.Context;

import java.util.Locale;

/** Numbers in words of the user's language; what is unknown is said to be. */
final class Text {
    private Text() {
    }

    /** Three significant digits. */
    static String number(double value) {
        if (Double.isNaN(value)) {
            return "–";
        }
        double size = Math.abs(value);
        String form = size >= 100 ? "%.0f" : size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f";
        return String.format(Locale.getDefault(), form, value);
    }

    /** A number within a text such as "%1$s MB", or "unknown". */
    static String orUnknown(Context context, int form, double value) {
        return Double.isNaN(value) ? context.getString(R.string.not_told)
                : context.getString(form, number(value));
    }

    /** Yes, no, or unknown for null. */
    static String truth(Context context, Boolean value) {
        return context.getString(value == null ? R.string.not_told
                : value ? R.string.yes : R.string.no);
    }
}
