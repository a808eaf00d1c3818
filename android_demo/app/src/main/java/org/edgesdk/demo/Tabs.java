package org.edgesdk.demo;

import android.app.Activity;
import android.content.Intent;
import android.view.View;
import android.widget.Button;

/** The bar that leads from each screen to the others. */
final class Tabs {
    private Tabs() {
    }

    static void set(final Activity here) {
        link(here, R.id.tab_image, ImageActivity.class);
        link(here, R.id.tab_speech, SpeechActivity.class);
        link(here, R.id.tab_bench, BenchActivity.class);
    }

    private static void link(final Activity here, int id, final Class<? extends Activity> to) {
        Button tab = (Button) here.findViewById(id);
        boolean current = here.getClass() == to;
        tab.setSelected(current);
        tab.setEnabled(!current);
        tab.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Intent intent = new Intent(here, to);
                // Back to the screen as it was left, if it still is there.
                intent.addFlags(Intent.FLAG_ACTIVITY_REORDER_TO_FRONT);
                here.startActivity(intent);
            }
        });
    }
}
