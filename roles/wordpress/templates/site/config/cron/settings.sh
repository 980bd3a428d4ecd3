# Written by Ansible (dockpress.hosting.wordpress).
site='{{ inventory_hostname }}'
url='{{ wordpress_url }}'
lock='{{ _wordpress_lock_dir }}/{{ inventory_hostname }}.lock'
interval={{ wordpress_cron_interval | int }}
limit={{ wordpress_cron_timeout | int }}
