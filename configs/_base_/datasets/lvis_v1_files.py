# annotations/lvis_v1_{train,val}.json, and COCO's images in train2017/ and val2017/
lvis_root = 'data/lvis/'
lvis_train = dict(data_root=lvis_root, ann_file='annotations/lvis_v1_train.json')
lvis_val = dict(data_root=lvis_root, ann_file='annotations/lvis_v1_val.json')
lvis_metric = dict(ann_file=lvis_root + 'annotations/lvis_v1_val.json')
